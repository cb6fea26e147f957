#ifdef __cplusplus
extern "C" {
#endif
const char *compiled_from(void);
double wave(double scale, int i);
int smallest(int a, int b);
#ifdef __cplusplus
}
#endif
