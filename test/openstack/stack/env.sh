# env.sh: every port, folder and password of the stack; each may be set in the environment. Sourced by the other scripts.
STACK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${STACK_DIR:=${TMPDIR:-/tmp}/ferric-openstack}"  # everything that the stack writes
: "${STACK_PASSWORD:=secret}"                       # of every service and of admin
: "${STACK_REGION:=RegionOne}"
: "${STACK_PORTS:=0}"                               # added to every port below: a second stack beside a first one
: "${DB_PORT:=$((23306 + STACK_PORTS))}"
: "${AMQP_PORT:=$((25673 + STACK_PORTS))}"
: "${AMQP_DIST_PORT:=$((26673 + STACK_PORTS))}"
: "${EPMD_PORT:=$((24369 + STACK_PORTS))}"
: "${MEMCACHED_PORT:=$((21211 + STACK_PORTS))}"
: "${KEYSTONE_PORT:=$((5000 + STACK_PORTS))}"
: "${GLANCE_PORT:=$((9292 + STACK_PORTS))}"
: "${PLACEMENT_PORT:=$((8778 + STACK_PORTS))}"
: "${NEUTRON_PORT:=$((9696 + STACK_PORTS))}"
: "${NOVA_PORT:=$((8774 + STACK_PORTS))}"
: "${CINDER_PORT:=$((8776 + STACK_PORTS))}"
: "${BAREMETAL_URL:=http://127.0.0.1:$((26385 + STACK_PORTS))}" # where the catalogue says that Ferric is
: "${STACK_WITH:=nova cinder}"                      # services besides Keystone, Glance, Placement and Neutron; may be empty

ETC=$STACK_DIR/etc LOGS=$STACK_DIR/log PIDS=$STACK_DIR/pid
AUTH_URL=http://127.0.0.1:$KEYSTONE_PORT/v3
DB_URL=mysql+pymysql://root:$STACK_PASSWORD@127.0.0.1:$DB_PORT
AMQP=rabbit://guest:guest@127.0.0.1:$AMQP_PORT/

# with SERVICE: whether it is one of $STACK_WITH
with() { case " $STACK_WITH " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
