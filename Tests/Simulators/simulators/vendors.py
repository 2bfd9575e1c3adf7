"""The products there are stand-ins for."""
import importlib

# type: (module, class)
VENDORS = {
    "docker-registry": ("plain", "Plain"),
    "docker-hub": ("dockerhub", "DockerHub"),
    "harbor": ("harbor", "Harbor"),
    "artifactory": ("artifactory", "Artifactory"),
    "nexus": ("nexus", "Nexus"),
    "gitlab": ("gitlab", "GitLab"),
    "quay": ("quay", "Quay"),
    "ecr": ("ecr", "ECR"),
    "ghcr": ("ghcr", "GHCR"),
    "acr": ("acr", "ACR"),
    "gar": ("gar", "GAR"),
    "yandex": ("yandex", "Yandex"),
}


def simulator(vendor):
    """The class of a vendor's simulator."""
    module, name = VENDORS[vendor]
    return getattr(importlib.import_module("simulators." + module), name)
