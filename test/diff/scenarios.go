package main

// written are the conversations written by hand.
func written() []scenario {
	return nil
}
