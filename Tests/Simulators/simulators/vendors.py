"""The products there are stand-ins for."""
import importlib

# type: (module, class)
VENDORS = {
    "docker-hub": ("dockerhub", "DockerHub"),
    "harbor": ("harbor", "Harbor"),
    "artifactory": ("artifactory", "Artifactory"),
    "nexus": ("nexus", "Nexus"),
}


def simulator(vendor):
    """The class of a vendor's simulator."""
    module, name = VENDORS[vendor]
    return getattr(importlib.import_module("simulators." + module), name)
