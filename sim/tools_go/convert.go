package main

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/frontend/subrequests/convertllb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/pkg/errors"
)

// build is one target with its arguments, on one daemon. Keys name builds within a request; bases come first.
type build struct {
	Key           string            `json:"key"`
	Dockerfile    string            `json:"dockerfile"`
	Inline        string            `json:"inline"`
	Label         string            `json:"label"`
	Context       string            `json:"context"`
	Stage         string            `json:"stage"`
	Args          map[string]string `json:"args"`
	Contexts      map[string]string `json:"contexts"`
	BuildPlatform string            `json:"build_platform"`
	Platforms     []string          `json:"platforms"`
}

// converted is what the frontend made of a build for one platform.
type converted struct {
	LLB   *convertllb.Result       `json:"llb"`
	Head  string                   `json:"head"`
	Links map[string]string        `json:"links"`
	Local map[digest.Digest]string `json:"local"`

	definition *llb.Definition
	config     []byte
}

// answers holds the graphs by build key and platform, the contexts they read, and the files that decided them.
type answers struct {
	Graphs   map[string]map[string]*converted `json:"graphs"`
	Contexts map[string]*buildContext         `json:"contexts"`
	Read     []string                         `json:"read"`
}

// converter keeps what later builds need of earlier ones.
type converter struct {
	answers
	folders map[string]map[string]folder
	read    map[string]struct{}
}

func convertAll(ctx context.Context, builds []build) (*answers, error) {
	c := &converter{
		answers: answers{Graphs: map[string]map[string]*converted{}, Contexts: map[string]*buildContext{}},
		folders: map[string]map[string]folder{},
		read:    map[string]struct{}{},
	}
	for _, b := range builds {
		if err := c.convert(ctx, b); err != nil {
			return nil, located(err, b)
		}
	}
	for path := range maps.Keys(c.read) {
		c.Read = append(c.Read, path)
	}
	return &c.answers, nil
}

func located(err error, b build) error {
	if p, ok := err.(*problem); ok {
		p.Build = b.Key
		return p
	}
	found := &problem{Message: firstLine(err.Error()), File: b.Label, Build: b.Key}
	var at *parser.LocationError
	if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 {
		found.Line = at.Locations[0][0].Start.Line
	}
	return found
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

func (c *converter) convert(ctx context.Context, b build) error {
	g, err := c.gateway(ctx, b)
	if err != nil {
		return err
	}
	ui, err := dockerui.NewClient(g)
	if err != nil {
		return err
	}
	src, err := ui.ReadEntrypoint(ctx, "Dockerfile")
	if err != nil {
		return &problem{Message: "no such Dockerfile", File: b.Label}
	}
	src.SourceMap.Filename = b.Label
	c.Graphs[b.Key] = map[string]*converted{}
	for _, text := range b.Platforms {
		platform, err := platforms.Parse(text)
		if err != nil {
			return err
		}
		platform = platforms.Normalize(platform)
		result, err := dockerfile2llb.Dockerfile2LLB(ctx, src.Data, dockerfile2llb.ConvertOpt{
			Config: cloned(ui.Config), Client: ui, MetaResolver: g, SourceMap: src.SourceMap, TargetPlatform: &platform,
			LLBCaps: &g.opts.LLBCaps,
		})
		if err != nil {
			return err
		}
		one, err := c.marshalled(ctx, result)
		if err != nil {
			return err
		}
		c.link(one, b, text)
		c.Graphs[b.Key][text] = one
		if err := c.missing(ctx, one, b); err != nil {
			return err
		}
	}
	return nil
}

// The frontend writes into its build arguments.
func cloned(config dockerui.Config) dockerui.Config {
	config.BuildArgs = maps.Clone(config.BuildArgs)
	return config
}

func (c *converter) marshalled(ctx context.Context, result *dockerfile2llb.Result) (*converted, error) {
	def, err := result.State.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(result.Image)
	if err != nil {
		return nil, err
	}
	one := &converted{
		LLB:        &convertllb.Result{Def: map[digest.Digest]*pb.Op{}, Metadata: def.Metadata, Source: def.Source},
		Links:      map[string]string{},
		Local:      map[digest.Digest]string{},
		definition: def,
		config:     config,
	}
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, err
		}
		dgst := digest.FromBytes(dt)
		one.LLB.Def[dgst] = &op
		one.Head = dgst.String()
		if len(op.Inputs) > 0 && op.Op == nil {
			one.Head = op.Inputs[0].Digest
		}
		if source := op.GetSource(); source != nil && strings.HasPrefix(source.Identifier, "local://") {
			if one.Local[dgst], err = c.context(ctx, source); err != nil {
				return nil, err
			}
		}
	}
	return one, nil
}

// gateway prepares options and inputs for the frontend as buildx does (its build/opt.go and build/build.go: context:NAME
// becomes input:KEY, with the base's image config beside it).
func (c *converter) gateway(ctx context.Context, b build) (*gateway, error) {
	platform, err := platforms.Parse(b.BuildPlatform)
	if err != nil {
		return nil, err
	}
	g := &gateway{
		locals: map[string]folder{"context": {dir: b.Context}},
		inputs: map[string]llb.State{},
		read:   func(path string) { c.read[path] = struct{}{} },
	}
	opts := map[string]string{"platform": strings.Join(b.Platforms, ","), "target": b.Stage}
	if b.Inline != "" {
		g.locals["dockerfile"] = folder{memory: map[string]string{"Dockerfile": b.Inline}}
		opts["filename"] = "Dockerfile"
	} else {
		g.locals["dockerfile"] = folder{dir: filepath.Dir(b.Dockerfile)}
		opts["filename"] = filepath.Base(b.Dockerfile)
	}
	for name, value := range b.Args {
		opts["build-arg:"+name] = value
	}
	for name, value := range b.Contexts {
		if err := c.namedContext(ctx, g, opts, name, value); err != nil {
			return nil, err
		}
	}
	c.folders[b.Key] = g.locals
	g.opts = client.BuildOpts{
		Opts:      opts,
		SessionID: b.Key,
		Workers:   []client.WorkerInfo{{Platforms: []ocispecs.Platform{platforms.Normalize(platform)}}},
		LLBCaps:   pb.Caps.CapSet(pb.Caps.All()),
		Caps:      gatewaypb.Caps.CapSet(gatewaypb.Caps.All()),
	}
	return g, nil
}

func (c *converter) namedContext(ctx context.Context, g *gateway, opts map[string]string, name, value string) error {
	key, isLink := strings.CutPrefix(value, "target:")
	if !isLink {
		if dir, isDir := strings.CutPrefix(value, "dir:"); isDir {
			mount := name
			if name == "context" || name == "dockerfile" {
				mount = "_" + name
			}
			g.locals[mount] = folder{dir: dir}
			value = "local:" + mount
		}
		opts["context:"+name] = value
		return nil
	}
	for text, base := range c.Graphs[key] {
		input, option := key, name
		if len(c.Graphs[key]) > 1 {
			platform, err := platforms.Parse(text)
			if err != nil {
				return err
			}
			suffix := "::" + platforms.FormatAll(platforms.Normalize(platform))
			input, option = key+suffix, name+suffix
		}
		state, err := stateOf(base)
		if err != nil {
			return err
		}
		metadata, err := json.Marshal(map[string][]byte{exptypes.ExporterImageConfigKey: base.config})
		if err != nil {
			return err
		}
		g.inputs[input] = state
		opts["context:"+option] = "input:" + input
		opts["input-metadata:"+input] = string(metadata)
	}
	return nil
}

func stateOf(base *converted) (llb.State, error) {
	if len(base.definition.Def) == 0 {
		return llb.Scratch(), nil
	}
	op, err := llb.NewDefinitionOp(base.definition.ToPB())
	if err != nil {
		return llb.State{}, err
	}
	return llb.NewState(op), nil
}

// link notes which vertex of this graph is the result of which linked build.
func (c *converter) link(one *converted, b build, platform string) {
	for _, value := range b.Contexts {
		key, isLink := strings.CutPrefix(value, "target:")
		if !isLink {
			continue
		}
		for text, base := range c.Graphs[key] {
			if text == platform || len(c.Graphs[key]) == 1 {
				if _, ok := one.LLB.Def[digest.Digest(base.Head)]; ok {
					one.Links[key] = base.Head
				}
			}
		}
	}
}
