import { backup } from "./backup.js";
import { backups } from "./backups.js";
import { certificates } from "./certificates.js";
import { clone } from "./clone.js";
import { compare } from "./compare.js";
import { cron, cronAll } from "./cron.js";
import type { CommandDefinition } from "./definition.js";
import { deleteCommand } from "./delete.js";
import { demo } from "./demo.js";
import { deploy } from "./deploy.js";
import { doctor } from "./doctor.js";
import { disable, enable } from "./enable.js";
import { importCommand } from "./import.js";
import { init } from "./init.js";
import { install } from "./install.js";
import { list } from "./list.js";
import { lock, unlock } from "./lock.js";
import { login } from "./login.js";
import { make } from "./make.js";
import { makeCheck } from "./make-check.js";
import { makeConvert } from "./make-convert.js";
import { makeGenerate } from "./make-generate.js";
import { makeLock, makeUpdate } from "./make-lock.js";
import { migrate } from "./migrate.js";
import { operations } from "./operations.js";
import { rehearse } from "./rehearse.js";
import { restore } from "./restore.js";
import { abort, resume } from "./resume.js";
import { rollback } from "./rollback.js";
import { save } from "./save.js";
import { serve } from "./serve.js";
import { show } from "./show.js";
import { status } from "./status.js";
import { sync } from "./sync.js";
import { verify } from "./verify.js";

/** Every command, in the order of the help. */
export const commands: readonly CommandDefinition[] = [
  init,
  doctor,
  status,
  list,
  show,
  save,
  make,
  makeCheck,
  makeConvert,
  makeGenerate,
  makeLock,
  makeUpdate,
  lock,
  unlock,
  serve,
  demo,
  install,
  importCommand,
  verify,
  enable,
  disable,
  login,
  cron,
  cronAll,
  certificates,
  backup,
  restore,
  deploy,
  clone,
  migrate,
  rollback,
  sync,
  rehearse,
  compare,
  deleteCommand,
  backups,
  operations,
  resume,
  abort,
];
