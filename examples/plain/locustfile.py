"""Two requests of a plain Locust file."""

from locust import FastHttpUser, constant, task


class Visitor(FastHttpUser):
    """Asks for both."""

    wait_time = constant(0.05)

    @task
    def hello(self) -> None:
        self.client.get("/hello")

    @task
    def digest(self) -> None:
        self.client.get("/digest/7", name="/digest/[id]")
