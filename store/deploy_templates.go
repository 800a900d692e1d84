package store

import (
	"context"

	"ferric"
)

func templateHead(d *ferric.DeployTemplate) head {
	return head{&d.UUID, &d.Name, &d.CreatedAt, &d.UpdatedAt, &d.Version}
}

// templateRecords keep their steps sealed: the arguments of a step may hold passwords.
var templateRecords = record[ferric.DeployTemplate]{what: "Deploy template", some: "A deploy template", object: ferric.ObjectDeployTemplate, head: templateHead,
	table: table[ferric.DeployTemplate]{name: "deploy_templates", id: func(d *ferric.DeployTemplate) string { return d.UUID },
		cols: append(columns(templateHead),
			document("extra", func(d *ferric.DeployTemplate) *map[string]any { return &d.Extra }),
			sealed("steps", func(d *ferric.DeployTemplate) *[]ferric.StepRequest { return &d.Steps }),
		)}}

// CreateDeployTemplate adds a deploy template and fills in its times, its version and, if it is empty, its UUID. CodeConflict for a UUID
// or name that another one has.
func (s *Store) CreateDeployTemplate(ctx context.Context, d *ferric.DeployTemplate) error {
	return templateRecords.create(ctx, s, d)
}

// DeployTemplate returns a deploy template (CodeNotFound).
func (s *Store) DeployTemplate(ctx context.Context, uuid string) (*ferric.DeployTemplate, error) {
	return templateRecords.get(ctx, s, "uuid", uuid)
}

// DeployTemplateByName returns the deploy template with a name (CodeNotFound).
func (s *Store) DeployTemplateByName(ctx context.Context, name string) (*ferric.DeployTemplate, error) {
	return templateRecords.get(ctx, s, "name", name)
}

// DeployTemplates returns deploy templates, like Nodes.
func (s *Store) DeployTemplates(ctx context.Context, f ferric.DeployTemplateFilter) ([]*ferric.DeployTemplate, error) {
	w := &filter{}
	in(w, "name", f.Names)
	return templateRecords.list(ctx, s, w, f.Page)
}

// UpdateDeployTemplate changes a deploy template and returns it. expectVersion 0 is any. CodeNotFound; CodeConflict if the version is
// another one, or the name is taken; an error of mutate is returned as it is, and changes nothing.
func (s *Store) UpdateDeployTemplate(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.DeployTemplate) error) (*ferric.DeployTemplate, error) {
	return templateRecords.update(ctx, s, uuid, expectVersion, mutate)
}

// DeleteDeployTemplate removes a deploy template (CodeNotFound). Deploys under way keep the steps that they began with.
func (s *Store) DeleteDeployTemplate(ctx context.Context, uuid string) error {
	return templateRecords.remove(ctx, s, uuid)
}
