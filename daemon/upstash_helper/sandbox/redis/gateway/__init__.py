"""The RESP gateway: accepts the databases' TCP connections and forwards them to servers that start on first use."""
