// Package openstack holds the tests of Ferric inside a real OpenStack: Keystone, Glance, Neutron, Nova and RabbitMQ from Debian's packages.
// The folder stack has the scripts that bring one up on loopback; make test-openstack does that, runs these tests with FERRIC_OPENSTACK=1 and
// takes it down again. Without FERRIC_OPENSTACK the tests skip, saying so.
//
// The tests find the cloud by the usual variables, OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and so on, of an administrator; see newCloud for
// the others and for their defaults. So they run against any cloud in which they may make and delete users, images and networks. Each makes
// what it needs under names of its own and deletes it. Those that need an API of Ferric start a process of their own.
package openstack
