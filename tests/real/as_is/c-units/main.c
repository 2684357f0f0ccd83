#include <stdio.h>

double unit_1_110(const double *a, const double *b, int size);
double unit_2_110(const double *a, const double *b, int size);
double unit_3_110(const double *a, const double *b, int size);

int main(void)
{
	static double a[64], b[64];
	printf("%g\n", unit_1_110(a, b, 8) + unit_2_110(a, b, 8) + unit_3_110(a, b, 8));
	return 0;
}
