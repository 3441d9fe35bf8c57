/** No prompts, no other transports, and nothing of a repository that provision itself may run in (a git hook sets these). */
export function gitEnvironment(): Record<string, string | undefined> {
  return {
    GIT_ALLOW_PROTOCOL: "file:git:http:https:ssh",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "true",
    GIT_SSH_COMMAND: process.env["GIT_SSH_COMMAND"] ?? "ssh -o BatchMode=yes",
    GIT_DIR: undefined,
    GIT_WORK_TREE: undefined,
    GIT_INDEX_FILE: undefined,
    GIT_OBJECT_DIRECTORY: undefined,
    GIT_LFS_SKIP_SMUDGE: "1",
    LC_ALL: "C",
  };
}
