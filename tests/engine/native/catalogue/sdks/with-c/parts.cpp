#include "parts.h"

#include <algorithm>
#include <vector>

int smallest(int a, int b) {
  std::vector<int> all{a, b};
  return *std::min_element(all.begin(), all.end());
}
