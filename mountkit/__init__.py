from mountkit.serving.mounts import Mount
from mountkit.serving.dispatchers import Dispatcher, DispatchMiddleware
