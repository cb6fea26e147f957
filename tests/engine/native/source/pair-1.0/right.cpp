#include <string>

extern "C" int left(int value);
extern "C" const char *left_from(void);

extern "C" int right(int value) {
  return left(value) + static_cast<int>(std::string(left_from()).rfind("left.c") != std::string::npos);
}
