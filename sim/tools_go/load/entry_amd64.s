#include "textflag.h"

// clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began), then Go's own entry.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	MOVQ	$228, AX
	MOVQ	$2, DI
	LEAQ	·began(SB), SI
	SYSCALL
	JMP	_rt0_amd64_linux(SB)
