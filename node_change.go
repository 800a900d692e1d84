package ferric

// NodeChange is a change of one node among several that are written together.
type NodeChange struct {
	UUID    string
	Version int64             // that the node must have; 0: any
	Change  func(*Node) error // as a transaction may be, it may be called more than once
	History *HistoryEntry     // written with the change; nil: none

	// What came of it: the node as it is now, or why it was not changed.
	Node *Node
	Err  error
}
