package rules

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ferric"
)

// APICall is what the action api-call asks for: a GET of URL. Failures that may pass (no answer, 429, 500, 502, 503, 504) are tried again
// Retries times, the nth time after Backoff × 2^(n-1).
type APICall struct {
	URL     string
	Headers map[string]string
	Proxies map[string]string // by the scheme of the URL
	Timeout time.Duration     // of each try
	Retries int
	Backoff time.Duration
}

// Bounds of an API call, so that a rule cannot hold a worker for hours.
const (
	maxCallTimeout = 5 * time.Minute
	maxCallRetries = 20
	maxCallBackoff = time.Minute
)

func apiCall(args map[string]any) (APICall, error) {
	c := APICall{URL: text(args["url"]), Timeout: 5 * time.Second, Retries: 3, Backoff: 300 * time.Millisecond}
	seconds := func(name string, least float64, limit time.Duration, into *time.Duration) error {
		v, ok := args[name]
		if !ok {
			return nil
		}
		f, ok := number(v)
		if s, isText := v.(string); isText {
			n, err := strconv.ParseFloat(s, 64)
			f, ok = n, err == nil
		}
		if !ok || math.IsNaN(f) || f < least || f > limit.Seconds() {
			return fmt.Errorf("Invalid parameter: %s must be a number of seconds up to %g", name, limit.Seconds())
		}
		*into = time.Duration(f * float64(time.Second))
		return nil
	}
	if err := seconds("timeout", 0.001, maxCallTimeout, &c.Timeout); err != nil {
		return c, err
	}
	if err := seconds("backoff_factor", 0, maxCallBackoff, &c.Backoff); err != nil {
		return c, err
	}
	if v, ok := args["retries"]; ok {
		n, err := strconv.Atoi(text(v))
		if err != nil || n < 0 || n > maxCallRetries {
			return c, fmt.Errorf("Invalid parameter: retries must be a number up to %d", maxCallRetries)
		}
		c.Retries = n
	}
	for name, into := range map[string]*map[string]string{"headers": &c.Headers, "proxies": &c.Proxies} {
		v, ok := args[name]
		if !ok || v == nil {
			continue
		}
		m, ok := v.(map[string]any)
		if !ok {
			return c, fmt.Errorf("Invalid parameter: %s must be an object", name)
		}
		*into = map[string]string{}
		for k, e := range m {
			(*into)[k] = text(e)
		}
	}
	return c, nil
}

// maxTraits is how many traits a node may have, as in the placement service.
const maxTraits = 50

var traitPattern = regexp.MustCompile(`^[A-Z0-9_]{1,255}$`)

// execution is the run of one rule's actions.
type execution struct {
	engine  *Engine
	machine *Machine
	rule    *ferric.InspectionRule
}

// act runs one action, over its loop if it has one.
func (x *execution) act(ctx context.Context, a ferric.RuleOperation) error {
	sign, ok := actions()[a.Op]
	if !ok {
		return ferric.Errorf(ferric.CodeInvalid, "Unsupported action: '%s'. Supported actions are: %s.", clip(a.Op), strings.Join(ActionNames(), ", "))
	}
	args, err := sign.arguments(a.Args)
	if err != nil {
		return err
	}
	items := loopItems(a.Loop)
	if items == nil {
		return x.do(ctx, a.Op, sign, args, x.scope())
	}
	for _, item := range items {
		s := x.scope()
		s.item, s.looping = item, true
		if err := x.do(ctx, a.Op, sign, args, s); err != nil {
			return err
		}
	}
	return nil
}

// scope is how the machine looks now: an action sees what the ones before it changed.
func (x *execution) scope() *scope { return x.engine.scope(x.machine, x.rule) }

func (x *execution) do(ctx context.Context, op string, sign signature, raw map[string]any, s *scope) error {
	s.maskNode = op == "log" || op == "fail"
	args := s.bind(op, sign, raw)
	m, path := x.machine, text(args["path"])
	unique := truth(args["unique"])
	var err error
	switch op {
	case "fail":
		return ferric.Errorf(ferric.CodeInvalid, "Failed to inspect hardware. Reason: %s", text(args["msg"]))
	case "log":
		return x.log(ctx, text(args["msg"]), args["level"])
	case "api-call":
		var call APICall
		if call, err = apiCall(args); err == nil {
			err = x.engine.call(ctx, call)
		}
	case "set-attribute":
		err = change(nodeAttributes(), m.Node, path, setting(args["value"]))
	case "extend-attribute":
		err = change(nodeAttributes(), m.Node, path, extending(args["value"], unique))
	case "del-attribute":
		err = change(nodeAttributes(), m.Node, path, removing)
	case "set-capability", "unset-capability":
		err = capability(m.Node, op == "set-capability", text(args["name"]), text(args["value"]))
	case "add-trait", "remove-trait":
		err = trait(m.Node, op == "add-trait", text(args["name"]))
	case "set-plugin-data":
		err = changeBelow(m.PluginData, strings.Split(path, "."), setting(args["value"]))
	case "extend-plugin-data":
		err = changeBelow(m.PluginData, strings.Split(path, "."), extending(args["value"], unique))
	case "unset-plugin-data":
		unset(m.PluginData, strings.Split(path, "."))
	case "set-port-attribute":
		err = x.changePort(text(args["port_id"]), path, setting(args["value"]))
	case "extend-port-attribute":
		err = x.changePort(text(args["port_id"]), path, extending(args["value"], unique))
	case "del-port-attribute":
		err = x.changePort(text(args["port_id"]), path, removing)
	}
	if err != nil {
		where := op
		if path != "None" {
			where += " " + clip(path)
		}
		return ferric.Errorf(ferric.CodeInvalid, "Inspection rule action execution failed. Reason: %s: %w", where, err)
	}
	return nil
}

// log writes a message to the log. What masks passwords in the data masks them here, too.
func (x *execution) log(ctx context.Context, msg string, level any) error {
	name := "info"
	if level != nil {
		name = strings.ToLower(text(level))
	}
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warning": slog.LevelWarn, "error": slog.LevelError,
		"critical": slog.LevelError}
	l, ok := levels[name]
	if !ok {
		return ferric.Errorf(ferric.CodeInvalid, "Inspection rule execution failed. Reason: Invalid log level: %s. Choose from critical, debug, error, info, warning", clip(name))
	}
	if x.engine.Log != nil {
		x.engine.Log.Log(ctx, l, "inspection rule: "+msg, "rule", x.rule.UUID)
	}
	return nil
}

// changePort changes the port with the UUID or MAC address.
func (x *execution) changePort(id, path string, do func(any, bool) (any, bool, error)) error {
	id = strings.ToLower(id)
	for _, p := range x.machine.Ports {
		if p.UUID == id || p.Address == id {
			return change(portAttributes(), p, path, do)
		}
	}
	return fmt.Errorf("Port %s could not be found.", clip(id))
}

func capability(n *ferric.Node, set bool, name, value string) error {
	if name == "" || strings.ContainsAny(name+value, ",") || strings.Contains(name, ":") {
		return fmt.Errorf("%s is no name or value of a capability", clip(name))
	}
	all := n.Capabilities()
	if set {
		all[name] = value
	} else {
		delete(all, name)
	}
	n.SetCapabilities(all)
	return nil
}

func trait(n *ferric.Node, add bool, name string) error {
	have := slices.Contains(n.Traits, name)
	switch {
	case !add:
		n.Traits = slices.DeleteFunc(slices.Clone(n.Traits), func(t string) bool { return t == name })
	case have:
	case !traitPattern.MatchString(name):
		return fmt.Errorf("%s is no trait: it may hold A-Z, 0-9 and _", clip(name))
	case len(n.Traits) >= maxTraits:
		return fmt.Errorf("the node has %d traits, more are not allowed", maxTraits)
	default:
		n.Traits = append(slices.Clone(n.Traits), name)
		slices.Sort(n.Traits)
	}
	return nil
}

// unset removes a place in the plugin data, and the object around it when that is empty then.
func unset(data map[string]any, parts []string) {
	at, around := data, map[string]any(nil)
	for _, part := range parts[:len(parts)-1] {
		next, ok := at[part].(map[string]any)
		if !ok {
			return
		}
		at, around = next, at
	}
	delete(at, parts[len(parts)-1])
	if len(at) == 0 && around != nil {
		delete(around, parts[len(parts)-2])
	}
}
