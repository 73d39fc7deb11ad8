/** What a rewrite could not carry, in the words of the ledger. */
import type { Loss } from '../servers/loss.js'

const LOSS_TEXT: Readonly<Record<Loss, string>> = {
  'field-expiry': 'expiry of hash fields',
  function: 'functions',
  script: 'cached scripts',
  value: 'the target lacks this type of value',
  stream: 'the target lacks streams',
  'stream-counters': 'counters of streams (entries added, read)',
  'pending-of-deleted': 'pending entries whose stream entry is deleted',
  'pending-nacked': 'pending entries without a consumer',
  idempotence: 'ids of stream producers (IDMP)',
  'key-meta': 'metadata that a module keeps with a key',
  'module-aux': 'data of a module that belongs to no key',
  'disputed-length': 'streams with an entry of a length that the target would misread',
  scrub:
    'values that were to be scrubbed and cannot be (modules, arrays, keys with metadata of modules)',
  'slot-import': 'that slots were being imported',
}

export function lossText(loss: Loss): string {
  return LOSS_TEXT[loss]
}
