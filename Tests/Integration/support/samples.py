"""The smallest images that have something in them."""
from .images import image, layer
from .packages import alpine


def sample(version="1.0-r0", name="libalpha", **options):
    """An image of one Alpine package; another one for each name and version."""
    return image([layer(alpine((name, version)))], **options)
