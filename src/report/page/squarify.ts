/** Rectangles whose areas are as given, as near to squares as a row at a time can be. */

export interface Rect {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** `values`: above 0, largest first. The rectangles fill the room, in the same order. */
export function squarify(values: readonly number[], room: Rect): Rect[] {
  const total = values.reduce((sum, value) => sum + value, 0)
  const scale = total === 0 ? 0 : (room.width * room.height) / total
  const rects: Rect[] = []
  let left = room
  let from = 0
  while (from < values.length) {
    const side = Math.min(left.width, left.height)
    let to = from + 1
    let area = values[from]! * scale
    // A row grows as long as its worst rectangle gets better by it.
    while (to < values.length) {
      const next = area + values[to]! * scale
      if (
        worst(values[from]! * scale, values[to]! * scale, next, side) >
        worst(values[from]! * scale, values[to - 1]! * scale, area, side)
      ) {
        break
      }
      area = next
      to += 1
    }
    left = place(values.slice(from, to), scale, area, left, rects)
    from = to
  }
  return rects
}

/** The worst ratio of sides in a row of this area, with these largest and smallest of it. */
function worst(largest: number, smallest: number, area: number, side: number): number {
  const square = side * side
  return Math.max((square * largest) / (area * area), (area * area) / (square * smallest))
}

/** Fills the shorter side with a row; returns what is left. */
function place(
  values: readonly number[],
  scale: number,
  area: number,
  room: Rect,
  rects: Rect[],
): Rect {
  const isUpright = room.width >= room.height
  const depth = area / (isUpright ? room.height : room.width)
  let at = isUpright ? room.y : room.x
  for (const value of values) {
    const length = depth === 0 ? 0 : (value * scale) / depth
    rects.push(
      isUpright
        ? { x: room.x, y: at, width: depth, height: length }
        : { x: at, y: room.y, width: length, height: depth },
    )
    at += length
  }
  return isUpright
    ? { ...room, x: room.x + depth, width: room.width - depth }
    : { ...room, y: room.y + depth, height: room.height - depth }
}
