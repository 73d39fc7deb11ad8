/**
 * A vector set (Redis 8) taken apart from the module data that it is stored as:
 *
 *   dim · count · config · flags · [input dim · matrix]
 *   then for each element: name · [attribute] · vector · n · n numbers
 *
 * The numbers are the element's place in the graph: id, level, links. Each server draws the levels
 * by lot and a load turns the order of the elements round, so of all these only the last one (the
 * vector's length and the range of its quantization) belongs to the value.
 */
import type { U64 } from '../rdb/visitor.js'

export const VECTOR_SET_MODULE = 'vectorset'

/** What a datum is. */
export const VECTOR_PART = {
  /** Of the set as a whole: dimensions, quantization, projection matrix. */
  HEAD: 0,
  /** Begins an element. */
  NAME: 1,
  ATTRIBUTE: 2,
  VECTOR: 3,
  /** Ends the element. */
  RANGE: 4,
  /** Of the graph: no part of the value. */
  GRAPH: 5,
} as const
export type VectorPart = (typeof VECTOR_PART)[keyof typeof VECTOR_PART]

const STATE = {
  DIMENSIONS: 0,
  COUNT: 1,
  CONFIG: 2,
  FLAGS: 3,
  INPUT_DIMENSIONS: 4,
  MATRIX: 5,
  NAME: 6,
  ATTRIBUTE: 7,
  VECTOR: 8,
  NUMBERS: 9,
  NUMBER: 10,
} as const
type State = (typeof STATE)[keyof typeof STATE]

const FLAG = { MATRIX: 1, ATTRIBUTES: 2 } as const

/** Told each datum of a vector set in turn, it says what that is. */
export class VectorSetParts {
  #state: State = STATE.DIMENSIONS
  #hasAttributes = false
  #numbersLeft = 0

  begin(): void {
    this.#state = STATE.DIMENSIONS
    this.#hasAttributes = false
  }

  number(value: U64): VectorPart {
    switch (this.#state) {
      case STATE.DIMENSIONS:
        this.#state = STATE.COUNT
        return VECTOR_PART.HEAD
      case STATE.COUNT:
        this.#state = STATE.CONFIG
        return VECTOR_PART.HEAD
      case STATE.CONFIG:
        this.#state = STATE.FLAGS
        return VECTOR_PART.HEAD
      case STATE.FLAGS:
        this.#hasAttributes = (value.low & FLAG.ATTRIBUTES) !== 0
        this.#state = (value.low & FLAG.MATRIX) === 0 ? STATE.NAME : STATE.INPUT_DIMENSIONS
        // Whether any element has an attribute shows in the elements.
        return VECTOR_PART.GRAPH
      case STATE.INPUT_DIMENSIONS:
        this.#state = STATE.MATRIX
        return VECTOR_PART.HEAD
      case STATE.NUMBERS:
        this.#numbersLeft = value.low
        this.#state = value.low === 0 ? STATE.NAME : STATE.NUMBER
        return value.low === 0 ? VECTOR_PART.RANGE : VECTOR_PART.GRAPH
      case STATE.NUMBER:
        this.#numbersLeft -= 1
        if (this.#numbersLeft > 0) return VECTOR_PART.GRAPH
        this.#state = STATE.NAME
        return VECTOR_PART.RANGE
      default:
        // A form that is not known: all of it counts.
        return VECTOR_PART.HEAD
    }
  }

  string(): VectorPart {
    switch (this.#state) {
      case STATE.MATRIX:
        this.#state = STATE.NAME
        return VECTOR_PART.HEAD
      case STATE.NAME:
        this.#state = this.#hasAttributes ? STATE.ATTRIBUTE : STATE.VECTOR
        return VECTOR_PART.NAME
      case STATE.ATTRIBUTE:
        this.#state = STATE.VECTOR
        return VECTOR_PART.ATTRIBUTE
      case STATE.VECTOR:
        this.#state = STATE.NUMBERS
        return VECTOR_PART.VECTOR
      default:
        return VECTOR_PART.HEAD
    }
  }
}
