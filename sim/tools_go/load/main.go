// Command load is the only program of a synthetic build step: it uses resources as its argument says, and nothing else.
//
// In: --spec KEY=VALUE,... (spec.go has the keys); what follows is the step's own text, which only tells steps apart. Out: files
// whose bytes depend on what the step was given, or do not, as the spec says, and an exit code.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

func main() {
	debug.SetGCPercent(-1) // what little is allocated is gone with the process; a collection would be unasked-for CPU time
	if len(os.Args) < 3 || os.Args[1] != "--spec" {
		fmt.Fprintln(os.Stderr, "usage: load --spec KEY=VALUE,... [-- TEXT]")
		os.Exit(2)
	}
	s, err := parse(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	code, err := run(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run does the phases in the order latency, download, read, cpu, write. What it costs to start, to find its key and to hold its
// memory counts as part of the CPU time that the spec asks for.
func run(s *spec) (int, error) {
	runtime.GOMAXPROCS(s.threads + 2)
	k, err := keyOf(s)
	if err != nil {
		return 1, err
	}
	code := s.exit
	if s.control != "" {
		told, err := ask(s, k)
		if err != nil {
			return 1, err
		}
		s.scale(told.factor)
		code = max(code, told.exit)
	}
	if s.isWarm() {
		s.shrink()
	}
	held, err := hold(s.memory)
	if err != nil {
		return 137, err
	}
	phases := []func() error{
		func() error { time.Sleep(s.latency); return nil },
		func() error { return download(s) },
		func() error { return read(s.read) },
		func() error { burn(s); return nil },
		func() error { return write(s, k) },
	}
	err = inOrder(phases, s.overlap)
	runtime.KeepAlive(held)
	return code, err
}

func inOrder(phases []func() error, together bool) error {
	if !together {
		for _, phase := range phases {
			if err := phase(); err != nil {
				return err
			}
		}
		return nil
	}
	var all sync.WaitGroup
	errs := make([]error, len(phases))
	for i, phase := range phases {
		all.Go(func() { errs[i] = phase() })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
