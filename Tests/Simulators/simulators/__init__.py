"""Stand-ins for the products that Tidewaiter polls. README.md in the folder above says how they are built."""
