package conductor_test

import (
	"testing"

	"ferric"
	"ferric/conductor"
	"ferric/rpc"
)

// TestAutomaticLessee: a deploy gives the node to a project, and the end of the instance takes it back.
func TestAutomaticLessee(t *testing.T) {
	for name, c := range map[string]struct {
		source, lessee string
		info           map[string]any
		want, after    string
	}{
		"from the instance": {conductor.LesseeFromInstance, "", map[string]any{"project_id": "p1"}, "p1", ""},
		"no project":        {conductor.LesseeFromInstance, "", nil, "", ""},
		"not a name":        {conductor.LesseeFromInstance, "", map[string]any{"project_id": 1.0}, "", ""},
		"it has one":        {conductor.LesseeFromInstance, "p0", map[string]any{"project_id": "p1"}, "p0", "p0"},
		"from the request":  {conductor.LesseeFromRequest, "", map[string]any{"project_id": "p1"}, "p2", ""},
		"from nobody":       {conductor.LesseeFromNobody, "", map[string]any{"project_id": "p1"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one", func(config *conductor.Config) { config.AutomaticLesseeSource = c.source })
			var n ferric.Node
			if err := b.call(rpc.CreateNode, rpc.NodeArgs{Node: &ferric.Node{Driver: "fake-hardware"}}, &n); err != nil {
				t.Fatal(err)
			}
			b.verb(n.UUID, "manage")
			b.reaches(n.UUID, ferric.Manageable)
			b.verb(n.UUID, "provide")
			b.reaches(n.UUID, ferric.Available)
			b.change(n.UUID, func(n *ferric.Node) { n.Lessee, n.InstanceInfo = c.lessee, c.info })
			project := func(a *rpc.ProvisionArgs) { a.Project = "p2" }
			b.verb(n.UUID, "active", project)
			b.reaches(n.UUID, ferric.Active)
			if got := b.node(n.UUID).Lessee; got != c.want {
				t.Errorf("deployed, its lessee is %q, want %q", got, c.want)
			}
			b.verb(n.UUID, "rebuild", project)
			b.reaches(n.UUID, ferric.Active)
			b.verb(n.UUID, "deleted")
			end := b.reaches(n.UUID, ferric.Available)
			if _, marked := end.InternalInfo["automatic_lessee"]; end.Lessee != c.after || marked {
				t.Errorf("undeployed, its lessee is %q, want %q; marked: %v", end.Lessee, c.after, marked)
			}
		})
	}
}
