#!/usr/bin/env bash
# Installs the Debian packages that the lab, the demo and the end-to-end tests lean on; only what is
# missing, and only as root.
#
#   scripts/debian-packages.sh            installs what is missing
#   scripts/debian-packages.sh --check    names what is missing and exits with 1 if something is
#
# slirp4netns, pasta and tayga are there to be measured beside Portfold (portfold bench peers), and
# taskset gives everybody the same core.
#
# lab/programs.ts holds the same table; test/lab/programs.test.ts compares the two.
set -u

PACKAGES='
ip=iproute2
nft=nftables
sysctl=procps
ping=iputils-ping
tracepath=iputils-tracepath
traceroute=traceroute
tcpdump=tcpdump
ethtool=ethtool
socat=socat
iperf3=iperf3
curl=curl
nginx=nginx-light
dnsmasq=dnsmasq-base
dig=bind9-dnsutils
turnserver=coturn
stun=stun-client
chromium=chromium
caddy=caddy
conntrack=conntrack
setpriv=util-linux
taskset=util-linux
slirp4netns=slirp4netns
pasta=passt
tayga=tayga
'

PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin"
missing=()
for pair in $PACKAGES; do
  command -v "${pair%%=*}" >/dev/null 2>&1 || missing+=("${pair#*=}")
done

if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi
if [ "${1:-}" = --check ]; then
  echo "${missing[*]}"
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "missing Debian packages: ${missing[*]}; run this script as root" >&2
  exit 4
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "missing programs of the packages ${missing[*]}, and there is no apt-get to install them" >&2
  exit 1
fi

# Servers of packages must not start by themselves on the machine that only wants their programs:
# policy-rc.d is how Debian is told so. One that is there already says what its owner wants.
policy=/usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
install() {
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
echo "installing ${missing[*]}" >&2
install 2>/dev/null || { apt-get update -qq >/dev/null && install; }
