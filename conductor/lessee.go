package conductor

import (
	"ferric"
	"ferric/rpc"
)

// Where the lessee of a node that is deployed comes from. Rules of the API let the lessee's project see and use the node.
const (
	LesseeFromInstance = "instance" // instance_info/project_id, where Nova puts it
	LesseeFromRequest  = "request"  // the project of whoever asked for the deploy
	LesseeFromNobody   = "none"
)

// automaticLessee marks in driver_internal_info a lessee that a deploy has set, and that leaves with the instance.
const automaticLessee = "automatic_lessee"

// setLessee gives a node that is deployed to a project, unless it has a lessee already.
func (c *Conductor) setLessee(n *ferric.Node, who rpc.Caller) {
	project := ""
	switch c.AutomaticLesseeSource {
	case LesseeFromInstance:
		project, _ = n.InstanceInfo["project_id"].(string)
	case LesseeFromRequest:
		project = who.Project
	}
	if project == "" || n.Lessee != "" || len(project) > 255 {
		return
	}
	if n.InternalInfo == nil {
		n.InternalInfo = map[string]any{}
	}
	n.Lessee, n.InternalInfo[automaticLessee] = project, true
}

// dropLessee takes away a lessee that a deploy has set.
func dropLessee(n *ferric.Node) {
	if n.InternalInfo[automaticLessee] == true {
		n.Lessee = ""
	}
	delete(n.InternalInfo, automaticLessee)
}
