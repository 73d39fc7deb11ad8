/**
 * Visitors in front of others: what an inner one hears of values or between keys, as calls that go straight to
 * it, to the one that is named then, or to all.
 */
import type { ElementVisitor, CountVisitor, RdbVisitor, StringPartsVisitor } from './visitor.js'

/** Names of all events of values: the compiler sees that none is missing. For visitors in front of others. */
const ELEMENT_EVENT_NAMES: Record<ValueEvent, true> = {
  stringValue: true,
  listElement: true,
  setMember: true,
  zsetMember: true,
  hashField: true,
  streamEntry: true,
  streamField: true,
  streamMeta: true,
  streamGroup: true,
  streamGroupPending: true,
  streamConsumer: true,
  streamConsumerPending: true,
  streamNacked: true,
  streamGroupEnd: true,
  streamIdmp: true,
  streamProducer: true,
  streamProducerId: true,
  streamIdmpEnd: true,
  moduleSigned: true,
  moduleUnsigned: true,
  moduleFloat: true,
  moduleDouble: true,
  moduleString: true,
  arrayMeta: true,
  arrayElement: true,
  gcra: true,
  stringBegin: true,
  stringPart: true,
  stringEnd: true,
  count: true,
  streamNodesEnd: true,
  streamNodes: true,
  streamNode: true,
}
/** Of values of modules, and of what modules keep between keys. */
const MODULE_EVENT_NAMES = {
  moduleSigned: true,
  moduleUnsigned: true,
  moduleFloat: true,
  moduleDouble: true,
  moduleString: true,
} as const
/** Names of the events between keys. */
const FILE_EVENT_NAMES: Record<FileEvent, true> = {
  start: true,
  end: true,
  aux: true,
  selectDb: true,
  resizeDb: true,
  slotInfo: true,
  functionLibrary: true,
  functionPreGa: true,
  hashTemplate: true,
  hashTemplateField: true,
  slotImport: true,
  slotImportRange: true,
  updateCommand: true,
  moduleAux: true,
  moduleAuxEnd: true,
  notice: true,
  lost: true,
}
/** All that is neither of a value nor an answer. */
type FileEvent = Exclude<
  keyof RdbVisitor,
  ValueEvent | 'key' | 'keyEnd' | 'rawWithElements' | 'rawValue' | 'packed' | 'plain'
>
type ValueEvent = keyof ElementVisitor | keyof StringPartsVisitor | keyof CountVisitor
type EventName = FileEvent | ValueEvent

/** What `inner` hears of values, as calls that go straight to it. */
export function forwardElements(inner: Partial<RdbVisitor>): Partial<RdbVisitor> {
  return forward(inner, ELEMENT_EVENT_NAMES)
}

/** What `inner` hears between keys, as calls that go straight to it. */
export function forwardFile(inner: Partial<RdbVisitor>): Partial<RdbVisitor> {
  return forward(inner, FILE_EVENT_NAMES)
}

type Call = (a: unknown, b: unknown, c: unknown) => void

/** Events of values, as calls that go to the visitor that `current` names then. */
export function forwardElementsTo(current: () => Partial<RdbVisitor>): Partial<RdbVisitor> {
  return dispatch(ELEMENT_EVENT_NAMES, (name) => (a, b, c) => {
    const inner = current()
    ;(Reflect.get(inner, name) as Call | undefined)?.call(inner, a, b, c)
  })
}

/** What stands between keys, and data of modules, which are told there only where nobody asks for the
 * elements of their values, as calls that go to all. */
export function forwardFileToAll(inners: readonly Partial<RdbVisitor>[]): Partial<RdbVisitor> {
  return dispatch({ ...FILE_EVENT_NAMES, ...MODULE_EVENT_NAMES }, (name) => (a, b, c) => {
    for (const inner of inners) (Reflect.get(inner, name) as Call | undefined)?.call(inner, a, b, c)
  })
}

function dispatch(
  names: Partial<Record<EventName, true>>,
  call: (name: string) => Call,
): Partial<RdbVisitor> {
  return Object.fromEntries(Object.keys(names).map((name) => [name, call(name)]))
}

/** Made once for a visitor: what it has no method for stays away. */
function forward(
  inner: Partial<RdbVisitor>,
  names: Partial<Record<EventName, true>>,
): Partial<RdbVisitor> {
  const calls: Partial<Record<string, unknown>> = {}
  for (const name of Object.keys(names) as EventName[]) {
    const method: unknown = Reflect.get(inner, name)
    if (typeof method === 'function') calls[name] = method.bind(inner)
  }
  return calls
}
