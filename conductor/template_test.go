package conductor_test

import (
	"strings"
	"testing"

	"ferric"
	"ferric/conductor"
	"ferric/driver"
	"ferric/rpc"
)

func (b *bench) template(name string, steps ...ferric.StepRequest) {
	b.Helper()
	if err := b.store.CreateDeployTemplate(b.Context(), &ferric.DeployTemplate{Name: name, Steps: steps}); err != nil {
		b.Fatal(err)
	}
}

// wants gives a node traits and an instance that asks for them.
func wants(traits ...any) func(*ferric.Node) {
	return func(n *ferric.Node) {
		for _, t := range traits {
			n.Traits = append(n.Traits, t.(string))
		}
		n.InstanceInfo["traits"] = traits
	}
}

func priority(p int) *int { return &p }

// TestDeployTemplates: the templates of the instance's traits add steps, change some and leave some out; steps that come with the verb win over them.
func TestDeployTemplates(t *testing.T) {
	for name, c := range map[string]struct {
		verb  string
		from  ferric.ProvisionState
		steps []rpc.StepArgs
		ran   string
		vents string
	}{
		"templates alone": {"active", ferric.Available, nil, "inject_files, vent, prepare_instance_boot", "vent 3"},
		"with steps of the verb": {"active", ferric.Available, []rpc.StepArgs{
			{Interface: "management", Step: "vent", Args: map[string]any{"seconds": 9}, Priority: priority(90)},
			{Interface: "deploy", Step: "inject_files", Priority: priority(0)}}, "vent, write_image, prepare_instance_boot", "vent 9"},
		"rebuild": {"rebuild", ferric.Active, []rpc.StepArgs{
			{Interface: "deploy", Step: "burn_in", Priority: priority(65)}}, "inject_files, vent, burn_in, prepare_instance_boot", "vent 3"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			b.template("CUSTOM_A", ferric.StepRequest{Interface: "management", Step: "vent", Priority: 68, Args: map[string]any{"seconds": 3}},
				ferric.StepRequest{Interface: "deploy", Step: "burn_in", Priority: 0})
			b.template("CUSTOM_B", ferric.StepRequest{Interface: "deploy", Step: "inject_files", Priority: 75})
			b.template("CUSTOM_C", ferric.StepRequest{Interface: "management", Step: "vent", Priority: 1})
			m := b.site.node("lab", in(c.from), wants("CUSTOM_A", "CUSTOM_B"), func(n *ferric.Node) { n.Traits = append(n.Traits, "CUSTOM_C") })
			b.verb(m.id, c.verb, func(a *rpc.ProvisionArgs) { a.Steps = c.steps })
			b.reaches(m.id, ferric.Active)
			var did []string
			for _, s := range ran(b.operation(m.id)) {
				switch _, step, _ := strings.Cut(s, "."); step {
				case "inject_files", "vent", "burn_in", "prepare_instance_boot":
					did = append(did, step)
				case "write_image":
					if len(c.steps) == 2 {
						did = append(did, step)
					}
				}
			}
			if got := strings.Join(did, ", "); got != c.ran {
				t.Errorf("ran %s, want %s", got, c.ran)
			}
			if m.count(c.vents) != 1 {
				t.Errorf("no %q among %v", c.vents, m.history())
			}
		})
	}
}

// TestDeployStepsRefused: what is wrong with steps is said before the deploy begins, as far as it is known.
func TestDeployStepsRefused(t *testing.T) {
	step := func(kind, name string, p int, args map[string]any) ferric.StepRequest {
		return ferric.StepRequest{Interface: kind, Step: name, Priority: p, Args: args}
	}
	seconds := map[string]any{"seconds": 1}
	for name, c := range map[string]struct {
		driver   string
		change   func(*ferric.Node)
		template []ferric.StepRequest
		steps    []rpc.StepArgs
		want     []string
	}{
		"argument missing": {"lab", wants("CUSTOM_A"), []ferric.StepRequest{step("management", "vent", 50, nil)}, nil,
			[]string{"Matching deploy templates: CUSTOM_A. Errors: deploy step", "is missing these required arguments: seconds"}},
		"argument unknown": {"lab", wants("CUSTOM_A"), []ferric.StepRequest{step("management", "vent", 0, map[string]any{"speed": 1})}, nil,
			[]string{"has these unexpected arguments: speed"}},
		"twice": {"lab", wants("CUSTOM_A", "CUSTOM_B"), []ferric.StepRequest{step("management", "vent", 1, seconds)}, nil,
			[]string{"Matching deploy templates: CUSTOM_A,CUSTOM_B.", "Duplicate deploy steps for management.vent"}},
		"core step": {"lab", wants(), nil, []rpc.StepArgs{{Interface: "deploy", Step: "deploy", Priority: priority(10)}},
			[]string{`Validation of deploy steps from "deploy steps" argument failed.`, "is a core step and cannot be overridden"}},
		"unknown step": {"fake-hardware", wants("CUSTOM_A"), []ferric.StepRequest{step("deploy", "burn", 1, nil)}, nil,
			[]string{"node does not support this deploy step: {'interface': 'deploy', 'step': 'burn'", "deploy.deploy"}},
		"trait that the node lacks": {"lab", func(n *ferric.Node) { n.InstanceInfo["traits"] = []any{"CUSTOM_Z"} }, nil, nil,
			[]string{"Cannot specify instance traits that are not also set on the node. Node ", " is missing traits CUSTOM_Z"}},
		"traits that are no list": {"lab", func(n *ferric.Node) { n.InstanceInfo["traits"] = "CUSTOM_Z" }, nil, nil,
			[]string{"Error parsing traits from Node ", "A list of strings is expected."}},
		"traits that are no text": {"lab", func(n *ferric.Node) { n.InstanceInfo["traits"] = []any{1} }, nil, nil, []string{"A list of strings is expected."}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			if c.template != nil {
				b.template("CUSTOM_A", c.template...)
				b.template("CUSTOM_B", c.template...)
			}
			m := b.site.node(c.driver, c.change)
			wantCode(t, b.try(m.id, "active", func(a *rpc.ProvisionArgs) { a.Steps = c.steps }), ferric.CodeInvalid, c.want...)
			if n := b.node(m.id); n.ProvisionState != ferric.Available {
				t.Errorf("the node is %q", n.ProvisionState)
			}
			if c.steps != nil {
				return
			}
			var v rpc.Validations
			if err := b.call(rpc.ValidateNode, ref(m.id), &v); err != nil {
				t.Fatal(err)
			}
			if d := v[ferric.KindDeploy]; d.Result || !strings.Contains(d.Reason, c.want[0]) {
				t.Errorf("validated as %+v", d)
			}
		})
	}
}

// TestUnknownAgentStep: only the agent can say that it does not know a step, and then the deploy fails.
func TestUnknownAgentStep(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	b.template("CUSTOM_A", ferric.StepRequest{Interface: "deploy", Step: "polish", Priority: 50})
	m := b.site.node("lab", wants("CUSTOM_A"))
	b.verb(m.id, "active")
	n := b.reaches(m.id, ferric.DeployFailed)
	if !strings.Contains(n.LastError, "node does not support this deploy step: {'interface': 'deploy', 'step': 'polish'") {
		t.Errorf("error %q", n.LastError)
	}
}

// TestDisallowedTemplateStep: what may not run does not run, whoever asks for it.
func TestDisallowedTemplateStep(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) {
		c.DisallowedSteps = map[driver.Phase][]string{driver.DeployPhase: {"management.vent"}}
	})
	b.template("CUSTOM_A", ferric.StepRequest{Interface: "management", Step: "vent", Priority: 50, Args: map[string]any{"seconds": 3}})
	m := b.site.node("lab", wants("CUSTOM_A"))
	b.verb(m.id, "active")
	b.reaches(m.id, ferric.Active)
	if m.count("vent 3") != 0 {
		t.Errorf("it ran: %v", m.history())
	}
}

// TestFakeCoreStepLeftOut: a driver whose core step is its own can do without it.
func TestFakeCoreStepLeftOut(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	b.template("CUSTOM_A", ferric.StepRequest{Interface: "deploy", Step: "deploy", Priority: 0})
	m := b.site.node("fake-hardware", wants("CUSTOM_A"))
	b.verb(m.id, "active")
	b.reaches(m.id, ferric.Active)
	same(t, "steps", []string{"conductor.prepare_deploy", "conductor.collect_deploy_steps"}, ran(b.operation(m.id)))
}
