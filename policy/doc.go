// Package policy decides who may do what. It has oslo.policy's rule language, so that the policy.yaml of an OpenStack cloud means the
// same here, and the rules of Ironic's API with their defaults.
//
// # The language
//
//	rule  = or
//	or    = and {"or" and}
//	and   = not {"and" not}
//	not   = {"not"} ("(" or ")" | check)
//	check = "@" | "!" | kind ":" value
//
// "@" and the empty rule allow everybody, "!" nobody. kind is "rule" (another rule's name), "role" (a role of the caller, whatever
// its case), the name of one of the caller's attributes such as project_id or system_scope, or a literal ('text', True, 12). value is a
// text in which %(name)s stands for an attribute of the target, such as node.owner, or of the caller. A check that needs an attribute
// which is not there is false. Words are separated by spaces; "and", "or" and "not" may be in any case. The older form, a list of lists
// of checks, is an "or" of "and"s. Checks by HTTP are refused: a request is never answered by asking somebody else.
//
// # Evaluation
//
// Rules are parsed, resolved and checked for cycles once, by New. Decide answers for a caller without a target: always, never, or only
// the target can tell. That saves most requests a look at the target.
//
// # Concurrency
//
// Rules never change once made; any number of goroutines may ask the same ones.
package policy
