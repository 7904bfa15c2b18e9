"""The controllers of a KKP installation, each reaching the API only through `lab.platform.client.Client`."""
