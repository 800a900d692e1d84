#!/usr/bin/python3
"""seed.py: users, roles, services and endpoints in Keystone, over its API (the command line client needs a second for each). May be repeated.

Reads JSON: {"url", "password", "region", "users": [name], "services": {type: {"name", "url"}}}. Every user gets the roles admin and service in
the project service and in the system."""
import json
import sys
import urllib.request

want = json.load(sys.stdin)
token = None


def call(method, path, body=None):
    headers = {'Content-Type': 'application/json'}
    if token:
        headers['X-Auth-Token'] = token
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(want['url'] + path, method=method, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        raw = answer.read()
        return answer.headers, json.loads(raw) if raw else None


def ensure(kind, name, **fields):
    """The object of that name, which is made if it is missing."""
    for have in call('GET', f'/{kind}s')[1][kind + 's']:
        if have.get('name') == name:
            return have
    return call('POST', f'/{kind}s', {kind: dict(fields, name=name)})[1][kind]


headers, _ = call('POST', '/auth/tokens', {'auth': {
    'identity': {'methods': ['password'], 'password': {'user': {'name': 'admin', 'domain': {'id': 'default'}, 'password': want['password']}}},
    'scope': {'project': {'name': 'admin', 'domain': {'id': 'default'}}}}})
token = headers['X-Subject-Token']
project = ensure('project', 'service', domain_id='default')
roles = {name: ensure('role', name)['id'] for name in ('admin', 'manager', 'member', 'reader', 'service')}
for name in want['users']:
    user = ensure('user', name, password=want['password'], domain_id='default', default_project_id=project['id'])
    for role in ('admin', 'service'):
        call('PUT', f"/projects/{project['id']}/users/{user['id']}/roles/{roles[role]}")
        call('PUT', f"/system/users/{user['id']}/roles/{roles[role]}")
endpoints = call('GET', '/endpoints')[1]['endpoints']
for kind, s in want['services'].items():
    service = ensure('service', s['name'], type=kind)
    for interface in ('public', 'internal', 'admin'):
        have = [e for e in endpoints if e['service_id'] == service['id'] and e['interface'] == interface]
        if not have:
            call('POST', '/endpoints', {'endpoint': {'service_id': service['id'], 'interface': interface, 'url': s['url'], 'region_id': want['region']}})
        elif have[0]['url'] != s['url']:
            call('PATCH', '/endpoints/' + have[0]['id'], {'endpoint': {'url': s['url']}})
