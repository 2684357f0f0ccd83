package main

import (
	"context"
	"encoding/json"
	"fmt"
	gofs "io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
)

// buildContext is a folder as a build sees it: what .dockerignore leaves, sizes in bytes.
type buildContext struct {
	Dir     string           `json:"dir"`
	Name    string           `json:"name"`
	Exclude []string         `json:"exclude"`
	Files   map[string]int64 `json:"files"`

	folders map[string]struct{}
}

// context walks the folder of a local source once for each set of exclude patterns and returns its key.
func (c *converter) context(ctx context.Context, source *pb.SourceOp) (string, error) {
	name := strings.TrimPrefix(source.Identifier, "local://")
	dir := c.folders[source.Attrs[pb.AttrLocalSessionID]][name].dir
	var exclude []string
	if text := source.Attrs[pb.AttrExcludePatterns]; text != "" {
		if err := json.Unmarshal([]byte(text), &exclude); err != nil {
			return "", err
		}
	}
	key := digest.FromString(dir + "\x00" + strings.Join(exclude, "\x00")).Encoded()[:16]
	if _, ok := c.Contexts[key]; ok {
		return key, nil
	}
	found := &buildContext{Dir: dir, Name: name, Exclude: exclude, Files: map[string]int64{}, folders: map[string]struct{}{"": {}}}
	c.Contexts[key] = found
	return key, found.walk(ctx)
}

func (b *buildContext) walk(ctx context.Context) error {
	root, err := fsutil.NewFS(b.Dir)
	if err != nil {
		return &problem{Message: "the context folder cannot be read: " + err.Error()}
	}
	filtered, err := fsutil.NewFilterFS(root, &fsutil.FilterOpt{ExcludePatterns: b.Exclude})
	if err != nil {
		return &problem{Message: ".dockerignore: " + err.Error()}
	}
	return filtered.Walk(ctx, "", func(name string, entry gofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			b.folders[name] = struct{}{}
			return nil
		}
		stat, err := entry.Info()
		if err != nil {
			return err
		}
		b.Files[name] = 0
		if stat.Mode().IsRegular() {
			b.Files[name] = stat.Size()
		}
		return nil
	})
}

// has says whether a path is in the context; a symbolic link on the way is followed on disk.
func (b *buildContext) has(name string) bool {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if _, ok := b.Files[name]; ok {
		return true
	}
	if _, ok := b.folders[name]; ok {
		return true
	}
	for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
		if _, isLink := b.Files[parent]; isLink {
			_, err := os.Stat(filepath.Join(b.Dir, filepath.FromSlash(name)))
			return err == nil
		}
	}
	return false
}

// missing finds a COPY, ADD or bind mount of a path that the context lacks. BuildKit finds it when it computes the checksum
// of that path; wildcards may match nothing there, so they may here.
func (c *converter) missing(_ context.Context, one *converted, b build) error {
	for dgst, op := range one.LLB.Def {
		for input, names := range selected(op) {
			if input < 0 || input >= len(op.Inputs) {
				continue
			}
			key, isLocal := one.Local[digest.Digest(op.Inputs[input].Digest)]
			if !isLocal {
				continue
			}
			for _, name := range names {
				if !c.Contexts[key].has(name) {
					file, line := place(one, dgst, b)
					text := fmt.Sprintf("%q: not found in the build context", path.Join("/", name))
					return &problem{Message: text, File: file, Line: line}
				}
			}
		}
	}
	return nil
}

// selected lists the plain paths that an operation takes from each of its inputs.
func selected(op *pb.Op) map[int][]string {
	found := map[int][]string{}
	for _, action := range op.GetFile().GetActions() {
		if copied := action.GetCopy(); copied != nil && !strings.ContainsAny(copied.Src, `*?[\`) {
			found[int(action.SecondaryInput)] = append(found[int(action.SecondaryInput)], copied.Src)
		}
	}
	for _, mount := range op.GetExec().GetMounts() {
		if mount.MountType == pb.MountType_BIND && mount.Selector != "" {
			found[int(mount.Input)] = append(found[int(mount.Input)], mount.Selector)
		}
	}
	return found
}

func place(one *converted, dgst digest.Digest, b build) (string, int) {
	for _, location := range one.LLB.Source.GetLocations()[dgst.String()].GetLocations() {
		for _, at := range location.Ranges {
			return one.LLB.Source.Infos[location.SourceIndex].Filename, int(at.Start.Line)
		}
	}
	return b.Label, 0
}
