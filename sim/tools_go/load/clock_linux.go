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

// started is what the process had used when it became this program.
var started = used(processClock)

// used is a clock's time.
func used(clock uintptr) time.Duration {
	return time.Duration(now(clock))
}

// now is a clock's nanoseconds, for where Go's scheduler may not be called.
//
//go:nosplit
func now(clock uintptr) int64 {
	var at syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&at)), 0)
	return int64(at.Sec)*1e9 + int64(at.Nsec)
}
