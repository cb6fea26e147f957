#include "parts.h"

#include <assert.h>
#include <math.h>

/* The path of the source: what makes C code differ from one folder to the next, were it not mapped away. */
const char *compiled_from(void) { return __FILE__; }

double wave(double scale, int i) {
  assert(scale > 0);
  return sin(scale * (i + 1));
}
