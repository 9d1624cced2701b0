"""gunicorn's settings for one process of the console; start one for each port behind nginx.

gunicorn --config console.py --bind 127.0.0.1:8701 "medfed.cli.serve:application()"
"""

import gc

worker_class = "gevent"  # a greenlet for each open page: a thousand threads would be too many
workers = 1  # more than one process: start this again on another port
worker_connections = 4000  # each open page is one
keepalive = 75
timeout = 60
graceful_timeout = 5  # open pages never end by themselves; they come back to the other process
forwarded_allow_ips = "127.0.0.1"
control_socket_disable = True
accesslog = None  # nginx writes one


def post_worker_init(_worker):
    """What was loaded stays; looking through it again and again would hold up all pages."""
    gc.collect()
    gc.freeze()
