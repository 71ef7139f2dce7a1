#!/bin/sh
# Writes the keys, passwords and the certificate of compose.yaml into deploy/secrets, once: what is there stays.
set -eu
cd "$(dirname "$0")"
# The folder is closed to others; the files in it are read by the users of the containers.
mkdir -p -m 700 secrets
cd secrets
umask 022
[ -e monitor.env ] && { echo "deploy/secrets is there already" >&2; exit 0; }

random() { openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n'; }

database=$(random) redis=$(random)
printf '%s' "$database" > postgres_password
printf '"monitor" "%s"\n' "$database" > userlist.txt
printf 'requirepass %s\n' "$redis" > redis.conf
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout monitor.key -out monitor.pem 2> /dev/null
cat > monitor.env <<END
MONITOR_DATABASE_URL='postgresql://monitor:$database@pgbouncer:6432/monitor'
MONITOR_DB__DIRECT_URL='postgresql://monitor:$database@postgres:5432/monitor'
MONITOR_REDIS_URL='redis://default:$redis@redis:6379/0'
MONITOR_JWT__KEYS='[{"kid": "t1", "alg": "HS256", "key": "$(random)"}]'
MONITOR_SECRETS__KEYS='[{"kid": "s1", "key": "$(random)"}]'
END
echo "deploy/secrets is ready; keep a copy of monitor.env"
