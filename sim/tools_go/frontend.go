package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/pkg/errors"
	fstypes "github.com/tonistiigi/fsutil/types"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// gateway stands in for BuildKit's daemon: it serves files of local folders and image configs that it makes up.
type gateway struct {
	client.Client
	opts   client.BuildOpts
	locals map[string]folder
	inputs map[string]llb.State
	read   func(path string)
}

// folder is a local source: a directory, or files in memory (an inline Dockerfile).
type folder struct {
	dir    string
	memory map[string]string
}

func (g *gateway) BuildOpts() client.BuildOpts { return g.opts }

func (g *gateway) Inputs(context.Context) (map[string]llb.State, error) { return g.inputs, nil }

func (g *gateway) Warn(context.Context, digest.Digest, string, client.WarnOpts) error { return nil }

// ResolveImageConfig makes up an image of the asked platform. One layer, for an image without layers is taken for scratch
// and its FROM vanishes; no digest, for it could not be true and would stand in every vertex name.
func (g *gateway) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	platform := g.opts.Workers[0].Platforms[0]
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		platform = *opt.ImageOpt.Platform
	} else if opt.OCILayoutOpt != nil && opt.OCILayoutOpt.Platform != nil {
		platform = *opt.OCILayoutOpt.Platform
	}
	layer := digest.FromString(ref + platforms.FormatAll(platform))
	image := ocispecs.Image{
		Platform: platform,
		RootFS:   ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer}},
		Config:   ocispecs.ImageConfig{Env: []string{defaultPath}},
	}
	config, err := json.Marshal(image)
	return ref, "", config, err
}

// Solve is asked for the folder that holds the Dockerfile or the .dockerignore.
func (g *gateway) Solve(_ context.Context, req client.SolveRequest) (*client.Result, error) {
	for _, dt := range req.Definition.GetDef() {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, err
		}
		source := op.GetSource()
		if source == nil {
			continue
		}
		name, isLocal := strings.CutPrefix(source.Identifier, "local://")
		if !isLocal {
			return nil, errors.Errorf("%s would have to be fetched to read a Dockerfile from it", source.Identifier)
		}
		result := client.NewResult()
		result.SetRef(&reference{folder: g.locals[name], read: g.read})
		return result, nil
	}
	return nil, errors.New("nothing to solve")
}

type reference struct {
	client.Reference
	folder folder
	read   func(path string)
}

func (r *reference) ReadFile(_ context.Context, req client.ReadRequest) ([]byte, error) {
	if r.folder.memory != nil {
		if text, ok := r.folder.memory[req.Filename]; ok {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}
	path := filepath.Join(r.folder.dir, filepath.FromSlash(req.Filename))
	r.read(path)
	return os.ReadFile(path)
}

func (r *reference) StatFile(_ context.Context, req client.StatRequest) (*fstypes.Stat, error) {
	return nil, fmt.Errorf("%s: sizes are told on reading", req.Path)
}
