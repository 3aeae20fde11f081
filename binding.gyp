{
  'variables': {
    'warnings': ['-O2', '-Wall', '-Wextra', '-Wno-unused-parameter', '-std=gnu11'],
  },
  'targets': [
    {
      'target_name': 'portfold',
      'sources': [
        'tun/native/addon.c',
        'tun/native/coalesce.c',
        'tun/native/device.c',
        'tun/native/memory.c',
        'tun/native/segment.c',
        'tun/native/system.c',
        'tun/native/train.c',
        'tun/native/wake.c',
        'tun/native/write.c',
      ],
      'defines': ['_GNU_SOURCE', 'NAPI_VERSION=8'],
      'cflags': ['<@(warnings)', '-fvisibility=hidden'],
      'libraries': ['-lpthread'],
    },
  ],
  # Plain C programs: the ceiling that the datapath is measured against, and the traffic source of the laboratory.
  # Each is built where its source is present, so that a package without the laboratory still installs.
  'conditions': [
    ['"<!(test -f bench/native/null-forwarder.c && echo yes || echo no)"=="yes"', {
      'targets': [
        {
          'target_name': 'null-forwarder',
          'type': 'executable',
          'sources': ['bench/native/null-forwarder.c'],
          'defines': ['_GNU_SOURCE'],
          'cflags': ['<@(warnings)'],
        },
      ],
    }],
    ['"<!(test -f lab/native/flows.c && echo yes || echo no)"=="yes"', {
      'targets': [
        {
          'target_name': 'flows',
          'type': 'executable',
          'sources': ['lab/native/flows.c'],
          'cflags': ['<@(warnings)'],
        },
      ],
    }],
  ],
}
