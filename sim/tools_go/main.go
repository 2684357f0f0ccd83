// Command graph is buildcast's offline helper: it asks BuildKit's own Dockerfile frontend for build graphs and rewrites bake
// files so that buildx evaluates project ids. It talks to no daemon and no registry.
//
// In: one JSON request on stdin. Out: one JSON answer on stdout; a problem of the user's input is {"error": {...}} with exit 0.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// request holds one of the two questions.
type request struct {
	Builds []build  `json:"builds,omitempty"`
	IDs    *bakeIDs `json:"ids,omitempty"`
}

// problem is a mistake in the user's files.
type problem struct {
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Build   string `json:"build,omitempty"`
}

func (p *problem) Error() string { return p.Message }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := answer(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer(ctx context.Context, in io.Reader, out io.Writer) error {
	var asked request
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return err
	}
	var result any
	var err error
	if asked.IDs != nil {
		result, err = rewrite(*asked.IDs)
	} else {
		result, err = convertAll(ctx, asked.Builds)
	}
	if p, ok := err.(*problem); ok {
		return json.NewEncoder(out).Encode(map[string]*problem{"error": p})
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}
