package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// quantum is how often somebody looks at the process's CPU time: short beside any step, long beside a clock call.
const quantum = 200 * time.Microsecond

// burn uses the CPU time that is left of the spec's: the serial share on one thread, then the rest on all of them. What counts
// is the CPU time of all threads together, the runtime's own among them: the sum is exact, whatever else wants the cores, and
// a thread that the kernel favours does more, as jobs of a compiler would.
func burn(s *spec) {
	until := s.cpu
	if s.overlap { // other phases run meanwhile; what they used until now is not part of it
		until += used(processClock)
	}
	serial := time.Duration(float64(s.cpu) * s.serial)
	if serial > 0 {
		spend(min(until, used(processClock)+serial), 1)
	}
	spend(until, s.threads)
}

// spend keeps threads busy until the process has used so much CPU time.
func spend(until time.Duration, threads int) {
	if used(processClock) >= until {
		return
	}
	var all sync.WaitGroup
	var next atomic.Int64
	var isDone atomic.Bool
	began := time.Now()
	for range threads {
		all.Go(func() {
			runtime.LockOSThread() // each on a thread of its own: the step has as many as it says
			for !isDone.Load() {
				spin(20000)
				now, due := int64(time.Since(began)), next.Load()
				// One looks for all; should it be stopped in between, another does a quantum later.
				if now >= due && next.CompareAndSwap(due, now+int64(quantum)) && used(processClock) >= until {
					isDone.Store(true)
				}
			}
		})
	}
	all.Wait()
}

var sink atomic.Uint64

// spin is about 20 microseconds of arithmetic in registers: no memory traffic that would slow others down.
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
