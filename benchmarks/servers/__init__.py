"""What is compared; each module serves one model on one port: python -m benchmarks.servers.NAME PORT MODEL.cfg"""
