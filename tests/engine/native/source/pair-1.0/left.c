#include <assert.h>

const char *left_from(void) { return __FILE__; }

int left(int value) {
  assert(value >= 0);
  return value + 1;
}
