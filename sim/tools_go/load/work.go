package main

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	_ "unsafe" // for the names of the runtime
)

// burn uses the CPU time that is left of the spec's: the serial share on one thread, then the rest on all of them. What Go needed
// to start is part of it; what made the process before it was this program is not (runc's init, some 25 ms, stands in the
// process's clock).
func burn(s *spec) {
	left, end := s.cpu, int64(started+s.cpu)
	if s.overlap { // other phases run meanwhile: what they use is no part of it, nor what was used until now
		end = math.MaxInt64
	} else {
		left -= used(processClock) - started
	}
	serial := min(left, time.Duration(float64(s.cpu)*s.serial))
	spend(serial, 1, end)
	spend(left-serial, s.threads, end)
}

// spend keeps threads busy until they have used so much CPU time, or the process has used all it may. What counts is all of it
// together: the sum is exact, whatever else wants the cores, and a thread that the kernel favours does more, as jobs of a
// compiler would.
func spend(amount time.Duration, threads int, end int64) {
	if amount <= 0 {
		return
	}
	var all sync.WaitGroup
	var spent atomic.Int64
	for range threads {
		all.Go(func() {
			runtime.LockOSThread() // each on a thread of its own: the step has as many as it says
			busy(&spent, int64(amount), end)
		})
	}
	all.Wait()
}

// busy computes until all threads together have spent so much, each by its own clock, or the process's clock shows the end: what
// it takes to make threads stands there only. For Go's scheduler it waits in a system call: a goroutine that runs on and on has a
// watcher wake up many times in 10 ms, which took 0.8 % of another core.
//
//go:nosplit
func busy(spent *atomic.Int64, amount, end int64) {
	entersyscall()
	last := now(threadClock)
	for {
		spin(20000)
		at := now(threadClock)
		if spent.Add(at-last) >= amount || now(processClock) >= end {
			break
		}
		last = at
	}
	exitsyscall()
}

//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

var sink atomic.Uint64

// spin is about 20 microseconds of arithmetic in registers: no memory traffic that would slow others down.
//
//go:nosplit
func spin(rounds int) {
	x := uint64(88172645463325252)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	sink.Store(x)
}

const hugePage = 2 << 20

// hold maps memory and touches every page. In pieces, for an address space of 32 bits may have no large gap.
func hold(bytes int64) ([][]byte, error) {
	var held [][]byte
	for bytes > 0 {
		size := min(bytes, 64<<20)
		piece, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			return nil, fmt.Errorf("cannot hold %d more bytes: %w", bytes, err)
		}
		if size >= hugePage {
			_ = syscall.Madvise(piece, 14) // MADV_HUGEPAGE: touching then costs a tenth; without it, the same
		}
		for at := 0; at < len(piece); at += 4096 {
			piece[at] = 1
		}
		held = append(held, piece)
		bytes -= size
	}
	return held, nil
}
