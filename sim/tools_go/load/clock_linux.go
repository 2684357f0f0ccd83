package main

import (
	"syscall"
	"time"
	"unsafe"
)

// Clocks of CPU time (linux/time.h): they stand still while others have the cores.
const (
	processClock = 2 // of all threads, since the process was made
	threadClock  = 3
)

// began is what the process had used at this program's first instruction: entry_*.s reads it there, when the linker was told to
// begin with it (sim/tools.py). Go needs some 2 ms of CPU time to start (linux/386: 3), which a step should not use beyond what
// it says.
var began syscall.Timespec

// started is began, or what the process has used now, where the architecture has no entry of ours.
var started = first()

func first() time.Duration {
	if at := began.Nano(); at > 0 {
		return time.Duration(at)
	}
	return used(processClock)
}

// used is a clock's time. A kernel that does not tell it would have a step burn for ever.
func used(clock uintptr) time.Duration {
	at := now(clock)
	if at < 0 {
		panic("the kernel does not tell CPU times")
	}
	return time.Duration(at)
}

// now is a clock's nanoseconds, for where Go's scheduler may not be called; negative: the kernel refuses.
//
//go:nosplit
func now(clock uintptr) int64 {
	var at syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&at)), 0); errno != 0 {
		return -1
	}
	return int64(at.Sec)*1e9 + int64(at.Nsec)
}
