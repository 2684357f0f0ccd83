/* Many small functions on matrices: what a compiler's optimiser takes time for. UNIT tells the object files apart. */
#define PASTE(unit, n) unit_##unit##_##n
#define NAME(unit, n) PASTE(unit, n)
#define FUNCTION(n)                                                                    \
	double NAME(UNIT, n)(const double *restrict a, const double *restrict b, int size) \
	{                                                                                  \
		double sum = n;                                                                \
		for (int i = 0; i < size; i++) {                                               \
			double row = 0.5 * n;                                                      \
			for (int j = 0; j < size; j++)                                             \
				row += a[i * size + j] * b[j * size + i] / (1.0 + (i ^ (j + n)));      \
			if (row > n)                                                               \
				sum += row - (int)row % (n + 1);                                       \
			else                                                                       \
				sum -= row * (i % (n + 2));                                            \
		}                                                                              \
		return sum;                                                                    \
	}
#define TEN(n)       \
	FUNCTION(n##0)   \
	FUNCTION(n##1)   \
	FUNCTION(n##2)   \
	FUNCTION(n##3)   \
	FUNCTION(n##4)   \
	FUNCTION(n##5)   \
	FUNCTION(n##6)   \
	FUNCTION(n##7)
#define HUNDRED(n) TEN(n##1) TEN(n##2) TEN(n##3) TEN(n##4) TEN(n##5) TEN(n##6)
HUNDRED(1)
HUNDRED(2)
HUNDRED(3)
HUNDRED(4)

/* Every build has another seed, so that what it makes is new. */
__asm__(".pushsection .rodata\n.incbin \"seed.txt\"\n.popsection");
