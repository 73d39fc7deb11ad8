/** What a kernel that takes runs of records or elements tells of the last one, whichever it was. */
import { sawCompressed } from './strings'

let inputTo: usize = 0
let outputTo: usize = 0
let stringBytes: f64 = 0
let largest: u32 = 0

/** Where the run ends in the input and in the output. */
@inline
export function endRun(input: usize, output: usize): void {
  inputTo = input
  outputTo = output
}

/** The bytes of its strings, decoded, and the longest of them. */
@inline
export function measureRun(bytes: u64, longest: usize): void {
  stringBytes = bytes as f64
  largest = longest as u32
}

export function runInputTo(): usize {
  return inputTo
}

export function runOutputTo(): usize {
  return outputTo
}

export function runStringBytes(): f64 {
  return stringBytes
}

export function runLargest(): u32 {
  return largest
}

export function runCompressed(): i32 {
  return sawCompressed ? 1 : 0
}
