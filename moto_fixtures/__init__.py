"""The honest AWS that the tests of the AWS driver run against.

moto's real HTTP server, with a chain of WSGI layers in front: faults that a test programs (`faults`), and one switch
for each place where moto is laxer than AWS (`strict`). Worlds come from YAML topologies (`seed`), are compared as plain
data (`state`), and are put back in milliseconds (`snapshot`). Nothing of boto3 or botocore is patched: a driver sees an
endpoint URL. Test support only: not part of the wheel, and it shares no code with a driver.
"""
