class LifespanRunner:
    def __init__(self, children, **k): self.running=[]
    async def __call__(self, scope, receive, send): raise NotImplementedError
