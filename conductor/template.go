package conductor

import (
	"context"
	"slices"
	"strings"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// templatePlan is a deploy template as it was when the deploy was asked for: a change of the template does not reach deploys under way.
type templatePlan struct {
	Name  string         `json:"name"`
	Steps []rpc.StepArgs `json:"steps"`
}

// instanceTraits returns the traits that the instance asks for. CodeInvalid if the node does not have them all.
func instanceTraits(n *ferric.Node) ([]string, error) {
	given := n.InstanceInfo["traits"]
	if given == nil {
		return nil, nil
	}
	list, ok := given.([]any)
	var traits []string
	for _, v := range list {
		s, isText := v.(string)
		ok = ok && isText
		traits = append(traits, s)
	}
	if !ok {
		return nil, ferric.Errorf(ferric.CodeInvalid, "Error parsing traits from Node %s instance_info field. A list of strings is expected.", n.UUID)
	}
	var missing []string
	for _, t := range traits {
		if !slices.Contains(n.Traits, t) && !slices.Contains(missing, t) {
			missing = append(missing, t)
		}
	}
	if len(missing) > 0 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "Cannot specify instance traits that are not also set on the node. Node %s is missing traits %s",
			n.UUID, strings.Join(missing, ", "))
	}
	return traits, nil
}

// templates returns the deploy templates that are named like the traits that the instance asks for.
func (c *Conductor) templates(ctx context.Context, n *ferric.Node) ([]templatePlan, error) {
	traits, err := instanceTraits(n)
	if err != nil || len(traits) == 0 {
		return nil, err
	}
	found, err := c.Store.DeployTemplates(ctx, ferric.DeployTemplateFilter{Names: traits})
	if err != nil {
		return nil, err
	}
	var plans []templatePlan
	for _, d := range found {
		p := templatePlan{Name: d.Name}
		for _, s := range d.Steps {
			p.Steps = append(p.Steps, rpc.StepArgs{Interface: s.Interface, Step: s.Step, Args: s.Args, Priority: &s.Priority})
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// deployOverrides resolves the steps that the operator and the deploy templates ask for against those that are offered: each step of each
// interface once, the operator's before the templates'. early says that the agent will offer more. CodeInvalid names everything that is wrong.
func deployOverrides(asked []rpc.StepArgs, plans []templatePlan, offers []offer, early bool) ([]flow.Step, error) {
	out, err := deploySteps(asked, early).resolve(offers)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, `Validation of deploy steps from "deploy steps" argument failed. %w`, err)
	}
	var of []string
	var planned []rpc.StepArgs
	for _, p := range plans {
		of = append(of, p.Name)
		planned = append(planned, p.Steps...)
	}
	extra, err := deploySteps(planned, early).resolve(offers)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "Validation of deploy steps from deploy templates matching this node's instance traits failed. "+
			"Matching deploy templates: %s. Errors: %w", strings.Join(of, ","), err)
	}
	for _, e := range extra {
		if !slices.ContainsFunc(asked, func(a rpc.StepArgs) bool { return a.Interface == e.Interface && a.Step == e.Name }) {
			out = append(out, e)
		}
	}
	return out, nil
}

// checkDeploySteps refuses a deploy whose steps cannot be right, before it begins. It returns the templates that it will use.
func (c *Conductor) checkDeploySteps(ctx context.Context, t *driver.Task, asked []rpc.StepArgs) ([]templatePlan, error) {
	plans, err := c.templates(ctx, t.Node)
	if err != nil {
		return nil, err
	}
	_, err = deployOverrides(asked, plans, c.deployOffers(t), deploysInRamdisk(t))
	return plans, err
}
