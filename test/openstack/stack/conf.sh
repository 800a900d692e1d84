# conf.sh: the services' configuration files, written anew by each up.sh. Sourced by it.

# authtoken USER: how a service checks the tokens that it is given
authtoken() {
	cat <<EOF
[keystone_authtoken]
www_authenticate_uri = $AUTH_URL
memcached_servers = 127.0.0.1:$MEMCACHED_PORT
interface = internal
service_token_roles = service
service_token_roles_required = true
$(login "$1")
EOF
}

# login USER: how a service logs in
login() {
	cat <<EOF
auth_type = password
auth_url = $AUTH_URL
username = $1
password = $STACK_PASSWORD
project_name = service
user_domain_name = Default
project_domain_name = Default
region_name = $STACK_REGION
EOF
}

# client SECTION USER [INTERFACE]: how a service calls another one
client() { printf '[%s]\n%s\nvalid_interfaces = %s\n' "$1" "$(login "$2")" "${3:-internal}"; }

# messaging SERVICE
messaging() {
	cat <<EOF
[oslo_messaging_rabbit]
rabbit_qos_prefetch_count = 100
heartbeat_in_pthread = false
[oslo_concurrency]
lock_path = $STACK_DIR/lock/$1
[oslo_messaging_notifications]
driver = noop
EOF
	folder "lock/$1" "$1"
}

# db SECTION DATABASE
db() { printf '[%s]\nconnection = %s/%s?charset=utf8\n' "$1" "$DB_URL" "$2"; }

mkdir -p "$ETC"/{keystone,glance,placement,neutron,nova,cinder}

# password_hash_rounds: for tests; each login costs half a second otherwise
cat >"$ETC/keystone/keystone.conf" <<EOF
[DEFAULT]
log_dir =
use_stderr = true
[cache]
enabled = true
backend = dogpile.cache.memcached
memcache_servers = 127.0.0.1:$MEMCACHED_PORT
[token]
provider = fernet
expiration = 14400
[identity]
password_hash_rounds = 4
[fernet_tokens]
key_repository = $STACK_DIR/keystone/fernet
[credential]
key_repository = $STACK_DIR/keystone/credential
$(db database keystone)
EOF
for d in keystone keystone/fernet keystone/credential; do folder $d keystone; done

cat >"$ETC/glance/glance-api.conf" <<EOF
[DEFAULT]
bind_host = 127.0.0.1
bind_port = $GLANCE_PORT
workers = 0
use_stderr = true
enabled_backends = fs:file
node_staging_uri = file://$STACK_DIR/glance/staging
[glance_store]
default_backend = fs
[fs]
filesystem_store_datadir = $STACK_DIR/glance/images
[os_glance_staging_store]
filesystem_store_datadir = $STACK_DIR/glance/staging
[os_glance_tasks_store]
filesystem_store_datadir = $STACK_DIR/glance/tasks
[paste_deploy]
flavor = keystone
config_file = /etc/glance/glance-api-paste.ini
$(db database glance)
$(authtoken glance)
[oslo_concurrency]
lock_path = $STACK_DIR/lock/glance
[oslo_messaging_notifications]
driver = noop
EOF
for d in glance glance/images glance/staging glance/tasks lock/glance; do folder $d glance; done

cat >"$ETC/placement/placement.conf" <<EOF
[DEFAULT]
use_stderr = true
[api]
auth_strategy = keystone
$(db placement_database placement)
$(authtoken placement)
EOF

# The only mechanism driver is networking-baremetal's; no agent of layer 2, DHCP or routing runs.
folder neutron neutron
cat >"$ETC/neutron/neutron.conf" <<EOF
[DEFAULT]
bind_host = 127.0.0.1
bind_port = $NEUTRON_PORT
api_workers = 1
rpc_workers = 1
rpc_state_report_workers = 0
use_stderr = true
core_plugin = ml2
service_plugins =
auth_strategy = keystone
transport_url = $AMQP
state_path = $STACK_DIR/neutron
api_paste_config = /etc/neutron/api-paste.ini
notify_nova_on_port_status_changes = true
notify_nova_on_port_data_changes = true
agent_down_time = 75
$(db database neutron)
$(authtoken neutron)
[nova]
$(login neutron)
endpoint_type = public
$(messaging neutron)
EOF
cat >"$ETC/neutron/ml2_conf.ini" <<EOF
[ml2]
type_drivers = flat,vlan
tenant_network_types =
mechanism_drivers = baremetal
extension_drivers = port_security
[ml2_type_flat]
flat_networks = physnet1
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:199
[securitygroup]
enable_security_group = true
EOF
cat >"$ETC/neutron/ironic_neutron_agent.ini" <<EOF
[DEFAULT]
transport_url = $AMQP
state_path = $STACK_DIR/neutron
use_stderr = true
[agent]
report_interval = 10
[oslo_concurrency]
lock_path = $STACK_DIR/lock/neutron
$(client ironic neutron admin)
EOF

folder nova nova
folder nova/instances nova
cat >"$ETC/nova/nova.conf" <<EOF
[DEFAULT]
use_stderr = true
my_ip = 127.0.0.1
host = nova-bm
state_path = $STACK_DIR/nova
transport_url = $AMQP
enabled_apis = osapi_compute
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = $NOVA_PORT
osapi_compute_workers = 1
compute_driver = ironic.IronicDriver
update_resources_interval = ${NOVA_UPDATE_RESOURCES_INTERVAL:-10}
sync_power_state_interval = ${NOVA_SYNC_POWER_INTERVAL:-60}
force_config_drive = true
flat_injected = true
block_device_allocate_retries_interval = 1
[api]
auth_strategy = keystone
[wsgi]
api_paste_config = /etc/nova/api-paste.ini
[compute]
consecutive_build_service_disable_threshold = 0
[conductor]
workers = 1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 60
[filter_scheduler]
track_instance_changes = false
enabled_filters = ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter
available_filters = nova.scheduler.filters.all_filters
[vnc]
enabled = false
[serial_console]
enabled = true
base_url = ws://127.0.0.1:$((6083 + STACK_PORTS))/
[key_manager]
backend = nova.keymgr.conf_key_mgr.ConfKeyManager
fixed_key = 0000000000000000000000000000000000000000000000000000000000000000
$(db api_database nova_api)
$(db database nova)
$(authtoken nova)
[service_user]
send_service_user_token = true
$(login nova | sed '/region_name/d')
$(client placement nova public)
$(client glance nova public)
$(client neutron nova)
[cinder]
$(login nova | sed 's/^region_name/os_region_name/')
catalog_info = volumev3:cinderv3:publicURL
$(client ironic nova)
api_max_retries = 60
api_retry_interval = 2
$(messaging nova)
EOF
# nova-compute must not be able to reach the database.
sed '/^\[\(api_\)\?database\]$/,/^connection/d' "$ETC/nova/nova.conf" >"$ETC/nova/nova-compute.conf"

folder cinder cinder
folder cinder/volumes cinder
cat >"$ETC/cinder/cinder.conf" <<EOF
[DEFAULT]
use_stderr = true
my_ip = 127.0.0.1
host = cinder-bm
state_path = $STACK_DIR/cinder
transport_url = $AMQP
auth_strategy = keystone
osapi_volume_listen = 127.0.0.1
osapi_volume_listen_port = $CINDER_PORT
osapi_volume_workers = 1
api_paste_config = /etc/cinder/api-paste.ini
resource_query_filters_file = /etc/cinder/resource_filters.json
enabled_backends = fake
glance_api_servers = http://127.0.0.1:$GLANCE_PORT
[fake]
volume_driver = cinder.tests.fake_driver.FakeLoggingVolumeDriver
volume_backend_name = fake
$(db database cinder)
$(authtoken cinder)
[service_user]
send_service_user_token = true
$(login cinder | sed '/region_name/d')
[nova]
$(login cinder)
interface = public
$(messaging cinder)
EOF

# The files hold the password: each is for one user only.
for s in keystone glance placement neutron nova cinder; do
	chown -R "$s:$s" "$ETC/$s"
	chmod 750 "$ETC/$s"
done

# What tests and people log in with, and what Ferric logs in with.
cat >"$STACK_DIR/admin.env" <<EOF
export OS_AUTH_TYPE=password OS_AUTH_URL=$AUTH_URL OS_USERNAME=admin OS_PASSWORD=$STACK_PASSWORD OS_PROJECT_NAME=admin
export OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default OS_REGION_NAME=$STACK_REGION OS_IDENTITY_API_VERSION=3
export FERRIC_SERVICE_USERNAME=ironic FERRIC_SERVICE_PASSWORD=$STACK_PASSWORD
export BAREMETAL_URL=$BAREMETAL_URL AMQP_URL=amqp://guest:guest@127.0.0.1:$AMQP_PORT/
EOF
sed 's/^export OS_AUTH_TYPE.*/export OS_AUTH_TYPE=password OS_AUTH_URL='"${AUTH_URL//\//\\/}"' OS_USERNAME=ironic OS_PASSWORD='"$STACK_PASSWORD"' OS_PROJECT_NAME=service/' \
	"$STACK_DIR/admin.env" >"$STACK_DIR/ferric.env"
chmod 600 "$STACK_DIR/admin.env" "$STACK_DIR/ferric.env"
