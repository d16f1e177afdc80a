// Reduces JSON to its shape, so that a live answer can be held against a recorded one.

/** Keys and types; the elements of an array are taken to be alike. */
export function shape(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? [] : [shape(value[0])];
  if (typeof value === 'object') {
    return Object.fromEntries(Object.keys(value).sort().map((key) => [key, shape(value[key])]));
  }
  return typeof value;
}
