#include <stdio.h>

int right(int value);

int main(void) {
  printf("%d\n", right(40));
  return 0;
}
