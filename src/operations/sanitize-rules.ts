import { invalidFile, parseYaml, readText } from "../context/yaml-file.js";
import { ProvisionError } from "../core/errors.js";
import { SANITIZE, type SanitizeRules } from "../engines/engine.js";

/** Rules of a YAML file over the usual ones; without a file those. Rejects with FILE_NOT_FOUND, INVALID_FILE. */
export async function sanitizeRules(path: string | undefined): Promise<SanitizeRules> {
  if (path === undefined) return SANITIZE;
  const text = await readText(path);
  if (text === undefined) throw new ProvisionError("FILE_NOT_FOUND", `${path} does not exist`);
  const yaml = parseYaml(path, text);
  const wrong = (key: string, message: string) => invalidFile(path, [{ ...yaml.position([key], "key"), message }]);
  for (const [key, value] of Object.entries(yaml.values)) {
    if (key === "mail" || key === "name") {
      if (typeof value !== "string" || !value.includes("%uid"))
        throw wrong(key, `${key} is text with %uid in it; for example ${SANITIZE[key]}`);
    } else if (key === "values" || key === "emptied") {
      if (!Array.isArray(value) || value.some((one) => typeof one !== "string")) throw wrong(key, `${key} is a list of names`);
    } else throw wrong(key, `there is no rule ${key}: mail, name, values, emptied`);
  }
  return { ...SANITIZE, ...(yaml.values as Partial<SanitizeRules>) };
}
